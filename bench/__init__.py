"""How fast the program is: each figure beside a reference measured in the same run.

Why a package of its own: it is not shipped, it may use what the program may not (compilers,
peers from the package index), and nothing of it is a test. What must never happen here: a figure
without the number it is compared with, load that outlives the run, a listener beyond loopback.
"""
