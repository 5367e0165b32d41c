"""What the commands of the command line do, in Python; results go to stdout, progress to stderr."""
