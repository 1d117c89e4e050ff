"""Messages and stubs generated from `protos/perdure/v1`."""
