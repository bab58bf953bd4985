"""The main module of processes that `multiprocessing` spawns: files of the submission are imported there as the node imports them."""

import importlib
import os
import sys


def prepare():
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path.append(folder)
    try:
        from qflow_entry import SDK, Entry, find_files

        sys.path.append(SDK)
        try:
            importlib.import_module("qflow")
        finally:
            sys.path.remove(SDK)
    finally:
        sys.path.remove(folder)
    Entry.root, Entry.file, Entry.name = os.environ["QFLOW_SOURCE"].split("\n")
    find_files()


if __name__ == "__mp_main__":
    prepare()
