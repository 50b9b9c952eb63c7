// Package kernels finds Linux kernels, keeps them in a cache folder and hands them to a virtual machine.
//
// A kernel is named by a spec:
//
//	apt:SUITE[/VERSION][@FLAVOUR]   a Debian or Ubuntu kernel package of any dpkg architecture
//	oci:REF                         an OCI image with boot/vmlinuz and lib/modules, at the top or below a folder
//	tar:FILE                        a tarball of the same
//	bucket:DIR[,kernel=DISTRO/VER]  a folder of tarballs DISTRO/VERSION__IDS.tar.gz
//	build:DIR                       a kernel build tree
//	file:PATH[,modules=DIR]         a bzImage, vmlinux or Image on this machine, or a folder that holds one
//	host                            the kernel that this machine runs
//
// SUITE is a suite of the host's configured apt archives or a sibling of one on the same mirror (bullseye, trixie,
// trixie-backports, sid, experimental); SUITE-updates and SUITE-security are looked at too where they exist.
// VERSION is a version ("6.1", "6.12.107", "6.1.0-53") that matches whole components, a glob ("7.*"), or newest,
// oldest or each-minor; left out, it is the version that the suite's own metapackage stands for (5.10 in bullseye, 6.1
// in bookworm), else the newest.
// FLAVOUR is generic, cloud, rt, 16k and so on; left out, the cloud flavour is taken where the architecture has one.
//
// The packages come through a private apt root: mirrors, keyrings and proxy are read from the host's apt
// configuration, sums and signatures are verified by apt itself, and the host's own apt state is not touched.
//
// The folder of a kernel holds an image that QEMU starts without a boot loader and, where the architecture allows
// it, without decompressing anything in the guest (see [Kernel.Image]), the modules, and the configuration.
//
// The package does not boot anything and does not know about guests. Everything read from a kernel package is
// untrusted: sizes are bounded, no path leaves the store, no symbolic link of a package is created or followed.
package kernels
