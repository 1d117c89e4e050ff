"""Secrets, as a playbook and its input speak of them: by reference. Pure; whoever resolves one is elsewhere."""
