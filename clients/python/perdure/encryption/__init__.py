"""Encryption of what is in events, by those who write and read it: clients and executors. The control plane has no key."""
