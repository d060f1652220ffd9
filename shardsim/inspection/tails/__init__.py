"""How heavy are the tails of contributions?"""
