static int trace(const struct matrix *m, int *sum, int limit)
{
    int total = 0;
    for (int i = 0; i < m->rows && i < m->cols; i++) {
        if (m->cells[i * m->cols + i] > limit)
            break;
        total += m->cells[i * m->cols + i];
    }
    *sum = total;
    return total >= 0 ? 1 : 0;
}
