# lit configuration of the pass's tests. Both CMake's target "check" and the Go test of this folder
# run it, and give the parameters:
#
#   plugin       the plugin to test
#   llvm_bindir  bin folder of the LLVM that it belongs to
#   llvm_major   its major

import os

import lit.formats

config.name = "bpfcov"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".c", ".ll"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(os.path.abspath(__file__))
config.test_exec_root = lit_config.params["out"]

plugin = lit_config.params["plugin"]
bindir = lit_config.params["llvm_bindir"]
major = int(lit_config.params["llvm_major"])

config.environment["PATH"] = bindir + os.pathsep + config.environment["PATH"]

clang = os.path.join(bindir, "clang")
load = f"-fplugin={plugin} -fpass-plugin={plugin}"
coverage = "-fprofile-instr-generate -fcoverage-mapping -mllvm -enable-name-compression=false"
opt = os.path.join(bindir, "opt")
if major == 14:
    opt += " -opaque-pointers"

# %bpfcov is what the wrapper runs, %plain the same compiler without the plugin.
config.substitutions += [
    ("%bpfcov", f"{clang} {load} {coverage}"),
    ("%plain", clang),
    ("%opt", f"{opt} -load-pass-plugin={plugin}"),
    ("%plugin", plugin),
]
for m in range(15, major + 1):
    config.available_features.add(f"llvm-{m}-or-newer")
