package Interop::Broken;
use Interop::Missing::Altogether;
1;
