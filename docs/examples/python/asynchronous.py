import asyncio

from qflow import map, node, workflow


@node
async def fetch(page: int) -> list[int]:
    first, second = await asyncio.gather(item(page, 0), item(page, 1))
    return [first, second]


async def item(page: int, index: int) -> int:
    await asyncio.sleep(0)
    return page * 10 + index


@workflow
def asynchronous() -> list[list[int]]:
    return map(fetch, [1, 2])


if __name__ == "__main__":
    print(asynchronous())
