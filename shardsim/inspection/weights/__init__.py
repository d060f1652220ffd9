"""What weight matrices do: singular directions and others."""
