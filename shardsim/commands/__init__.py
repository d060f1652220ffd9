"""The commands of the command line, one a file: `main(options, flags)` runs it."""
