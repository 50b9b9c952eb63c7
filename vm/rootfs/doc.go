// Package rootfs makes the disk of a guest whose root is more than the tests' own files: an OCI image, a tarball or a folder,
// as a squashfs image, which every kernel of a distribution can mount. It is not compressed, because an emulated guest
// would pay for that more than for reading it.
//
// Images are kept below the user's cache folder, named after what they were made from, and never changed. squashfs-tools
// (mksquashfs(1), sqfstar(1)) write them; nothing is unpacked on this machine, so that what an archive says of owners,
// paths and links matters in the guest only.
package rootfs
