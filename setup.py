"""Compiles the kernels where a C compiler is at hand; without one the same files run as Python.

Each kernel is a plain `.py` with a `.pxd` beside it, so there is one text and two speeds. Where
Cython must say what Python cannot there is a `.pyx` too, and the `.py` is its plain twin.
"""

import os
from pathlib import Path

from setuptools import setup

KERNELS = Path("src/heliograph/kernels")

# Types come from the .pxd alone: an annotation says what Python users pass, not what C holds.
DIRECTIVES = {"language_level": 3, "annotation_typing": False}


def source(pxd):
    """What is compiled with the types of *pxd*."""
    written = pxd.with_suffix(".pyx")
    return written if written.exists() else pxd.with_suffix(".py")


def extensions():
    """The kernels as optional extensions; none where Cython itself is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    sources = [str(source(pxd)) for pxd in sorted(KERNELS.glob("*.pxd"))]
    built = cythonize(sources, compiler_directives=DIRECTIVES) if sources else []
    for extension in built:
        # After cythonize, which drops it: a failed compile must not fail the install.
        extension.optional = True
    return built


setup(
    ext_modules=extensions(),
    package_dir={"": "src"},
    # One compiler a processor: there are some twenty kernels.
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
