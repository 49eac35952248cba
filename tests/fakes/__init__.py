"""Stand-ins for parts in other processes; they speak the real protocol over real sockets."""
