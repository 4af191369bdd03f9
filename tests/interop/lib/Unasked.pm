package Unasked;
1;
