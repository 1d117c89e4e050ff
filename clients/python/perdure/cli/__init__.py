"""The command line `perdure`: `main` has the table of its commands, and each command is in the file of its name."""
