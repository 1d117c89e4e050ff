"""Follows runs and flows for people: `story` folds what happened, `tree` and `lines` show it, `follow` waits for the end."""
