# SPDX-License-Identifier: BSD-2-Clause
# cg.pressure: against /proc/pressure.
from host import pressure as test
