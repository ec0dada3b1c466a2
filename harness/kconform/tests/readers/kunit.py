"""The kernel's own `kunit.py parse FILE`, whose folder is the first argument. Its exit status is what it thinks of the file.

By itself it wants to be in a kernel's source tree, which `parse` has no use for.
"""

import sys

sys.path.insert(0, sys.argv[1])
import kunit

kunit.get_kernel_root_path = lambda: ""
kunit.main(["parse", sys.argv[2]])
