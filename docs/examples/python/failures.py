import qflow
from qflow import node, workflow


@node(retries=3, backoff="100ms", retry_on=["ConnectionError"], timeout="10s")
def fetch(url: str) -> str:
    attempt = qflow.current().attempt
    if attempt == 1:
        raise ConnectionResetError("the server hung up")
    if attempt == 2:
        raise qflow.Retry("the server is busy", after="200ms")
    if "//" not in url:
        raise qflow.Abort(f"{url} is no address")
    return f"{url} at attempt {attempt}"


@workflow
def failures(url: str = "http://example.org") -> str:
    return fetch(url)
