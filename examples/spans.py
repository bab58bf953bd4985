"""A node that tells where its own time goes: the span `parse` joins the run's trace.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 qflow run examples/spans.py
"""

import qflow
from qflow import node, workflow


@node
def parse(text: str) -> list[str]:
    with qflow.span("parse words"):
        words = text.split()
    return words


@workflow
def spans(text: str = "one trace from the caller to this span") -> list[str]:
    return parse(text)


if __name__ == "__main__":
    print(spans())
