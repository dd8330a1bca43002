"""Channels: one message of the alert engine to one provider, and what came of it; one module a
channel.

Each keeps this contract:

* `deliver` blocks the worker thread that calls it, no longer than its deadline allows, and never
  raises for what a provider, a network, a setting or a template does: that is a `Delivery`.
* `sent` means that the provider said so in its own words: an error inside an HTTP 200 is none.
  `later` is worth another attempt, not before `retry_after_s`; `refused` never will be.
* The same message may be handed in again after a crash or an answer that did not come. Its key goes
  with it wherever the protocol has a place for one, and the parts that a provider has taken are not
  sent again by the same process.
* No alert is left out in silence: what exceeds a provider's limits is split by bytes, then
  shortened to a line each, then counted.
* Nothing secret is in an answer, an error or a log line. What a label says is data everywhere: not
  markup, not a header, not a mention.
* The engine knows when to try again; the provider's own rate is kept here, over all receivers that
  share a robot.
"""
