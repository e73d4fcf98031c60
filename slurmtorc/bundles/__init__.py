"""Log files of finished runs packed into few files: a file system has only so many inodes."""
