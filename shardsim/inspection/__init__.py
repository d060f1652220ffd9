"""Tools that look into learned value heads: one tool a file.

Arrays or callables in, a frozen record with a one-line `summary()` out; no trainer,
no world. `checks` refuses bad input by name.
"""
