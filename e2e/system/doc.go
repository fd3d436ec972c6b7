package system
