/* Adds one. */
int add_one(int x)
{
	return x + 1; 
}
int sub(int x) {
    return x - 1;
}