from qflow import approval, node, sleep, workflow


@node
def draft(report: str) -> str:
    return f"draft of {report}"


@node
def publish(text: str) -> str:
    return f"published {text}"


@workflow
def waiting(report: str = "q3") -> str:
    text = draft(report)
    sleep("100ms")
    if approval("finance", timeout="2h"):
        return publish(text)
    return text


if __name__ == "__main__":
    print(waiting())
