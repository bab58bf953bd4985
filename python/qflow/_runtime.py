"""What the harness and the SDK share: the channel of the attempt that runs here, or nothing in plain Python."""

_channel = None


def attach(channel):
    """Called by the harness in the attempt's process."""
    global _channel
    _channel = channel


def channel():
    """The attempt's channel, or None in plain Python and in processes that the node forked."""
    return _channel
