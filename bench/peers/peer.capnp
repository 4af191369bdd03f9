@0xbf5147cbbecf40c1;

struct Item {
  id @0 :Int64;
  name @1 :Text;
  tags @2 :List(Text);
  score @3 :Float64;
}

interface Peer {
  add @0 (a :Int64, b :Int64) -> (r :Int64);
  echo @1 (d :Data) -> (d :Data);
  sink @2 (d :Data) -> (n :UInt64);
  items @3 (l :List(Item)) -> (l :List(Item));
}
