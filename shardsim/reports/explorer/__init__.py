"""The page of `shardsim inspect`: two value heads side by side, offline in one file.

`load` reads run folders, `forward` computes the outputs of every network in a few
compiled calls, each file of `panels` computes one panel, `schema` is the record of
everything on the page, and `html` writes the page and the same numbers as JSON.
"""
