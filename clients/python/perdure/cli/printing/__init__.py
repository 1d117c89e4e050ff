"""What a command prints: `formats` chooses between tables, JSON and YAML; `words` says values the way people read them."""
