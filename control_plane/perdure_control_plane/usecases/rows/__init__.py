"""What use cases need of the store, one protocol for each of its parts. `storage` says what their methods do and raise."""
