"""The engine: posts and time in, changes and messages out. Pure; `engine.Engine` is its face."""
