"""Dead letters, seen from the desk of whoever mends what made them.

`index` is what the lake tells of them without any key. `keyring` opens them. `replay` sends them again, and `journal`
remembers which. No role of the stream loads any of it: a private key is never near one.
"""
