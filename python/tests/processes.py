"""What Linux tells of other processes."""


def state(pid):
    """The letter of /proc/PID/stat; X where it is gone."""
    try:
        with open("/proc/%s/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as listed:
        return [int(child) for child in listed.read().split()]


def ticks(pid):
    """Processor time of a process, in hundredths of a second."""
    with open("/proc/%d/stat" % pid) as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))
