"""What several use cases read alike, each in the caller's transaction; one noun a file."""
