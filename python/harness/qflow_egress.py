"""Keeps a container that has a network from private addresses, by rules of its routing that its own processes cannot change.

    qflow_egress.py [ADDRESS_OR_NETWORK…]    those that it may reach all the same

Runs once in the container's network with CAP_NET_ADMIN, which user code never has. One file, stdlib only, Python 3.8+.
"""

import errno
import ipaddress
import os
import socket
import struct
import sys

KEPT = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598, and the metadata of a cloud
    "169.254.0.0/16",  # link-local: the metadata of the others
    "fc00::/7", "fe80::/10",  # RFC 4193, RFC 4291
)  # fmt: skip
TCP, UDP, SCTP, UDP_LITE, ICMP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 136, socket.IPPROTO_ICMP
DNS = 53  # names are resolved by whatever resolver the daemon hands out, which often is a private one
OPEN, SHUT = 100, 200  # priorities: what is open is asked first
ADD_RULE, REQUEST, ACK, CREATE = 32, 0x1, 0x4, 0x400  # linux/rtnetlink.h, linux/netlink.h
LOOK_UP, PROHIBIT, MAIN = 1, 8, 254  # linux/fib_rules.h, linux/rtnetlink.h
DESTINATION, PRIORITY, PROTOCOL, PORTS = 1, 6, 22, 24  # linux/fib_rules.h


def attribute(kind, body):
    size = 4 + len(body)
    return struct.pack("=HH", size, kind) + body + b"\0" * (-size % 4)


def rule(priority, action, network=None, protocol=None, port=None, version=4):
    """A message that adds one rule; one without a protocol is for everything, also for the neighbours' own talk."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    table = MAIN if action == LOOK_UP else 0
    body = struct.pack("=8BI", family, network.prefixlen if network else 0, 0, 0, table, 0, 0, action, 0)
    body += attribute(PRIORITY, struct.pack("=I", priority))
    if network:
        body += attribute(DESTINATION, network.network_address.packed)
    if protocol:
        body += attribute(PROTOCOL, struct.pack("=B", protocol))
    if port:
        body += attribute(PORTS, struct.pack("=HH", port, port))
    return struct.pack("=IHHII", 16 + len(body), ADD_RULE, REQUEST | ACK | CREATE, 1, 0) + body


def rules(allowed):
    """(version of IP, message) of every rule: names, what is allowed, and then what is kept."""
    for version in (4, 6):
        for protocol in (UDP, TCP):
            yield version, rule(OPEN, LOOK_UP, protocol=protocol, port=DNS, version=version)
    for network in allowed:
        yield network.version, rule(OPEN, LOOK_UP, network, version=network.version)
    for network in map(ipaddress.ip_network, KEPT):
        # Not ICMPv6: neighbours find one another by it.
        for protocol in (TCP, UDP, SCTP, UDP_LITE) + ((ICMP,) if network.version == 4 else ()):
            yield network.version, rule(SHUT, PROHIBIT, network, protocol, version=network.version)


def main(arguments):
    allowed = [ipaddress.ip_network(text, strict=False) for text in arguments]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.bind((0, 0))
        for version, message in rules(allowed):
            kernel.send(message)
            code = -struct.unpack_from("=i", kernel.recv(1 << 16), 16)[0]
            # A kernel without IPv6 has nothing to keep the container from there.
            if code and not (version == 6 and code in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP)):
                sys.exit("the kernel takes no rule for its routing: %s" % os.strerror(code))


if __name__ == "__main__":
    main(sys.argv[1:])
