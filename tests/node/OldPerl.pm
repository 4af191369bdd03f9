# Takes away what perl has had since 5.36, so that the node does as on older ones.
package OldPerl;
BEGIN { delete $builtin::{$_} for qw(is_bool created_as_number) }
1;
