"""The table of endpoints, a module a topic: each has a function that returns its rows.

An endpoint reads its request, calls one thing, and shapes the answer; blocking work runs in the
executors of `service.executors`, never on the loop.
"""
