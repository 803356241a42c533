"""What is asked for prices: one file a service, each a ``Feed`` of ``live.feed``."""
