"""What a run will cost, and which run two folders deserve."""
