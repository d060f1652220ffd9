"""Tools that look inside learned value heads, one tool a file.

A tool takes arrays or callables and returns a frozen record with a one-line
`summary()`. It knows no trainer and no environment. `validation` refuses bad input by
the name of the argument.
"""
