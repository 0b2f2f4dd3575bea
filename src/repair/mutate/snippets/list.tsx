export function List({ items, max, onPick }: Props) {
  const shown = items.slice(0, max);
  const rest = items.length - shown.length;
  return (
    <ul className="list">
      {shown.map((item, index) => (
        <li key={item.id} onClick={() => onPick(item, index)}>{index + 1}: {item.title}</li>
      ))}
      {rest > 0 && <li>{rest} more</li>}
    </ul>
  );
}
