"""When two files are copies of one picture, by their facts, their keys and their detail."""
