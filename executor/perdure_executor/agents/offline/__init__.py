"""The built-in model: no key, no network, and nothing that it makes up.

It looks round a workspace as an agent would, through the same loop and the same tools, and writes down what it found. It
judges nothing: the same prompt and the same files always give the same answer.
"""
