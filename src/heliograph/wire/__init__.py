"""What crosses a process, as bytes: encoders and decoders, one module a format.

Pure functions of their arguments. What decodes raises `core.errors.Refused` on bytes that can
never be right, and checks every claimed size before it believes it.
"""
