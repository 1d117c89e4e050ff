"""Domain values as messages, one file per proto; nothing else crosses this line."""
