"""A chain of 40 nodes, each after the one before: what a node costs beside its own work."""

from qflow import node, workflow


@node
def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(10):
        a, b = b, a + b
    return n + 1


@workflow
def chain(start: int = 0) -> int:
    n0 = fibonacci(start)
    n1 = fibonacci(n0)
    n2 = fibonacci(n1)
    n3 = fibonacci(n2)
    n4 = fibonacci(n3)
    n5 = fibonacci(n4)
    n6 = fibonacci(n5)
    n7 = fibonacci(n6)
    n8 = fibonacci(n7)
    n9 = fibonacci(n8)
    n10 = fibonacci(n9)
    n11 = fibonacci(n10)
    n12 = fibonacci(n11)
    n13 = fibonacci(n12)
    n14 = fibonacci(n13)
    n15 = fibonacci(n14)
    n16 = fibonacci(n15)
    n17 = fibonacci(n16)
    n18 = fibonacci(n17)
    n19 = fibonacci(n18)
    n20 = fibonacci(n19)
    n21 = fibonacci(n20)
    n22 = fibonacci(n21)
    n23 = fibonacci(n22)
    n24 = fibonacci(n23)
    n25 = fibonacci(n24)
    n26 = fibonacci(n25)
    n27 = fibonacci(n26)
    n28 = fibonacci(n27)
    n29 = fibonacci(n28)
    n30 = fibonacci(n29)
    n31 = fibonacci(n30)
    n32 = fibonacci(n31)
    n33 = fibonacci(n32)
    n34 = fibonacci(n33)
    n35 = fibonacci(n34)
    n36 = fibonacci(n35)
    n37 = fibonacci(n36)
    n38 = fibonacci(n37)
    n39 = fibonacci(n38)
    return n39
