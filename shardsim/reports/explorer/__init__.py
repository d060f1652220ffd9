"""`shardsim inspect`: one offline page on which two value heads can be looked into.

`gather` reads run folders, `reading` runs every network in a few compiled calls, the
other files make the cards of the page out of arrays, `write` makes one HTML file of
them and a JSON file with the same numbers.
"""
