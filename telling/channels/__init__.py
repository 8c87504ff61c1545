"""The kinds of channels, a file each. Nothing else names them one by one."""
